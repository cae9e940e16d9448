//! The matrix product on the CPU, by the `gemm` crate: the one call here that is not safe code.

use gemm::Parallelism;

use super::super::shapes::{Product, Stored};

/// Multiply-adds below which a second thread costs more than it brings.
const THREADED_WORK_MIN: usize = 1 << 20;

/// `c ← a·b`, see [`Product`]; the slices have exactly the shapes' lengths.
pub(super) fn product(shape: Product, a: &[f32], b: &[f32], c: &mut [f32], threads: usize) {
    let Product { m, n, k, .. } = shape;
    assert_eq!((a.len(), b.len(), c.len()), (m * k, k * n, m * n));
    if m == 0 || n == 0 {
        return;
    }
    let (a_rows, a_cols) = strides(shape.a, m, k);
    let (b_rows, b_cols) = strides(shape.b, k, n);
    let parallel = threads > 1 && m * n * k >= THREADED_WORK_MIN;
    let parallelism = if parallel {
        Parallelism::Rayon(threads)
    } else {
        Parallelism::None
    };
    #[expect(unsafe_code, reason = "the matrix product takes pointers and strides")]
    // SAFETY: with these strides every element (i, j) of a factor of r × c elements lies at an
    // index below r·c, and the assertion above gives each slice exactly that many. `c` is
    // borrowed alone, so it overlaps neither factor; with `read_dst` false it is not read.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            a_cols,
            a_rows,
            b.as_ptr(),
            b_cols,
            b_rows,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Distances between rows and between columns of a `rows × cols` factor, in elements.
fn strides(stored: Stored, rows: usize, cols: usize) -> (isize, isize) {
    match stored {
        Stored::Plain => (cols as isize, 1),
        Stored::Transposed => (1, rows as isize),
    }
}
