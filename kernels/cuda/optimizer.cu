// The optimizers' steps, each over the whole flat buffer of parameters in one launch. Compiled by
// NVRTC when a CUDA device is opened; the CPU twins have the same names and arguments.

typedef unsigned long long u64;

#define FIRST ((u64)blockIdx.x * blockDim.x + threadIdx.x)
#define STRIDE ((u64)gridDim.x * blockDim.x)

// v <- momentum v + g + l2 w, w <- w - lr v. The penalty holds for the first `decayed` parameters.
extern "C" __global__ void sgd(
    u64 len, u64 decayed, float lr, float momentum, float l2, const float *grads, float *velocity,
    float *params)
{
    for (u64 i = FIRST; i < len; i += STRIDE) {
        float w = params[i];
        float v = momentum * velocity[i] + (grads[i] + (i < decayed ? l2 : 0.0f) * w);
        velocity[i] = v;
        params[i] = w - lr * v;
    }
}

// Adam on g + l2 w; `lr` and `second_scale` hold the bias corrections of the step.
extern "C" __global__ void adam(
    u64 len, u64 decayed, float lr, float second_scale, float l2, float beta1, float beta2,
    float epsilon, const float *grads, float *first, float *second, float *params)
{
    for (u64 i = FIRST; i < len; i += STRIDE) {
        float w = params[i];
        float g = grads[i] + (i < decayed ? l2 : 0.0f) * w;
        float m = beta1 * first[i] + (1.0f - beta1) * g;
        float v = beta2 * second[i] + (1.0f - beta2) * g * g;
        first[i] = m;
        second[i] = v;
        params[i] = w - lr * m / (sqrtf(v) * second_scale + epsilon);
    }
}
