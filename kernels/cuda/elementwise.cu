// The element-wise and reduction kernels of a training step. Compiled by NVRTC when a CUDA device
// is opened; the CPU twin of each has the same name and the same arguments.
//
// Matrices are dense and row-major. Sizes are 64 bits wide, so no product of two overflows.
// Codes of activations and losses are those of `cuda.rs`.

typedef unsigned int u32;
typedef unsigned long long u64;

#define IDENTITY 0
#define RELU 1
#define GELU 2
#define TANH 3
#define SIGMOID 4

#define SQUARED 0
#define LOGISTIC 1
#define SOFTMAX 2

// The thread's first element and its stride over the grid.
#define FIRST ((u64)blockIdx.x * blockDim.x + threadIdx.x)
#define STRIDE ((u64)gridDim.x * blockDim.x)

__device__ __forceinline__ float gelu_inner(float x) {
    return tanhf(0.7978846f * (x + 0.044715f * x * x * x));
}

__device__ __forceinline__ float activation(int kind, float x) {
    switch (kind) {
        // Unlike fmaxf, this lets NaN through: a diverged network must not look healthy.
        case RELU: return x < 0.0f ? 0.0f : x;
        case GELU: return 0.5f * x * (1.0f + gelu_inner(x));
        case TANH: return tanhf(x);
        case SIGMOID: return 1.0f / (1.0f + expf(-x));
        default: return x;
    }
}

// The derivative, from the input for GELU and from the output for all others.
__device__ __forceinline__ float slope(int kind, float kept) {
    switch (kind) {
        case RELU: return kept > 0.0f ? 1.0f : 0.0f;
        case GELU: {
            float t = gelu_inner(kept);
            float inner = 0.7978846f * (1.0f + 3.0f * 0.044715f * kept * kept);
            return 0.5f * (1.0f + t) + 0.5f * kept * (1.0f - t * t) * inner;
        }
        case TANH: return 1.0f - kept * kept;
        case SIGMOID: return kept * (1.0f - kept);
        default: return 1.0f;
    }
}

// 0 for a dropped unit, `scale` for a kept one; `scale` 0 stands for no dropout at all.
__device__ __forceinline__ float dropped(u32 key, u32 threshold, float scale, u32 index) {
    if (scale == 0.0f) return 1.0f;
    u32 hash = index * 0x9e3779b9u ^ key;
    hash = (hash ^ (hash >> 16)) * 0x85ebca6bu;
    hash = (hash ^ (hash >> 13)) * 0xc2b2ae35u;
    hash ^= hash >> 16;
    return hash < threshold ? 0.0f : scale;
}

// A batch of inputs: the numbers of the rows that `order` names, then their embeddings.
extern "C" __global__ void gather(
    u64 rows, u64 numeric_cols, u64 categorical, u64 embedded, u64 start, const u32 *order,
    const float *numeric, const u32 *ids, const u32 *lookup, const float *params, float *out)
{
    u64 width = numeric_cols + embedded;
    for (u64 i = FIRST; i < rows * width; i += STRIDE) {
        u64 row = order[start + i / width];
        u64 col = i % width;
        if (col < numeric_cols) {
            out[i] = numeric[row * numeric_cols + col];
        } else {
            const u32 *at = lookup + 3 * (col - numeric_cols);
            u64 id = ids[row * categorical + at[0]];
            out[i] = params[at[1] + id * at[2]];
        }
    }
}

// Adds the gradients of embedded inputs to those of the tables. Rows that share a category meet
// in one place, so the order of the sums, and their last bits, are not fixed.
extern "C" __global__ void scatter(
    u64 rows, u64 categorical, u64 embedded, u64 start, const u32 *order, const u32 *ids,
    const u32 *lookup, const float *delta, float *grads)
{
    for (u64 i = FIRST; i < rows * embedded; i += STRIDE) {
        u64 row = order[start + i / embedded];
        const u32 *at = lookup + 3 * (i % embedded);
        u64 id = ids[row * categorical + at[0]];
        atomicAdd(grads + at[1] + id * at[2], delta[i]);
    }
}

// values <- dropout(activation(values + bias)); the activation's input goes to `kept` for GELU.
extern "C" __global__ void activate(
    u64 rows, u64 cols, int kind, u32 key, u32 threshold, float scale, const float *bias,
    float *values, float *kept)
{
    for (u64 i = FIRST; i < rows * cols; i += STRIDE) {
        float x = values[i] + bias[i % cols];
        if (kind == GELU) kept[i] = x;
        values[i] = activation(kind, x) * dropped(key, threshold, scale, (u32)i);
    }
}

// delta <- delta * slope, and its sums over the rows into `bias_grad`. A block of 32 x 8 threads
// owns 32 columns: eight threads share a column's rows, neighbours read neighbouring columns.
extern "C" __global__ void activate_back(
    u64 rows, u64 cols, int kind, u32 key, u32 threshold, float scale, const float *kept,
    float *delta, float *bias_grad)
{
    __shared__ float sums[8][33];
    u64 col = (u64)blockIdx.x * 32 + threadIdx.x;
    float unscaled = scale == 0.0f || kind == GELU ? 1.0f : 1.0f / scale;
    float sum = 0.0f;
    if (col < cols) {
        for (u64 row = threadIdx.y; row < rows; row += 8) {
            u64 i = row * cols + col;
            float d = delta[i];
            if (kind != IDENTITY) {
                d *= dropped(key, threshold, scale, (u32)i) * slope(kind, kept[i] * unscaled);
                delta[i] = d;
            }
            sum += d;
        }
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && col < cols) {
        for (int part = 1; part < 8; part++) sum += sums[part][threadIdx.x];
        bias_grad[col] = sum;
    }
}

// The mean loss of a batch into `losses[slot]`, its gradient over the outputs in their place. One
// block of 256 threads, a thread for each row: the sum has one order, so it repeats to the bit.
extern "C" __global__ void loss(
    u64 rows, u64 cols, int kind, u64 start, u64 slot, const u32 *order, const float *target,
    float *outputs, float *losses)
{
    __shared__ float sums[256];
    float share = 1.0f / (float)rows;
    float sum = 0.0f;
    for (u64 row = threadIdx.x; row < rows; row += 256) {
        float wanted = target[order[start + row]];
        float *out = outputs + row * cols;
        if (kind == SQUARED) {
            float error = out[0] - wanted;
            out[0] = 2.0f * error * share;
            sum += error * error;
        } else if (kind == LOGISTIC) {
            float z = out[0];
            sum += fmaxf(z, 0.0f) - z * wanted + log1pf(expf(-fabsf(z)));
            out[0] = (1.0f / (1.0f + expf(-z)) - wanted) * share;
        } else {
            u64 class_wanted = (u64)wanted;
            float highest = out[0];
            for (u64 col = 1; col < cols; col++) highest = fmaxf(highest, out[col]);
            float margin = out[class_wanted] - highest;
            float total = 0.0f;
            for (u64 col = 0; col < cols; col++) {
                out[col] = expf(out[col] - highest);
                total += out[col];
            }
            for (u64 col = 0; col < cols; col++) out[col] *= share / total;
            out[class_wanted] -= share;
            sum += logf(total) - margin;
        }
    }
    sums[threadIdx.x] = sum;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) losses[slot] = sums[0] * share;
}
