//! The numeric kernels of the encoder and of vector search, and the choice of instruction set at run time.
//!
//! Everything here is arithmetic on slices. A kernel is written once, as safe generic code over 16 lanes of `f32`; an
//! instruction set says what those lanes are, and [`Level`] picks one when a kernel is called. Every kernel runs on
//! [`Level::Portable`] as well, which is its twin in the tests. The `unsafe` of the crate is confined to the modules that
//! name the instructions of one CPU family: the instruction sets, and the integer kernel of [`int8`].
//!
//! Guarantees:
//! * A row of a result has the same bits whatever the other rows of the call are: each element is summed in one fixed
//!   order that depends on the level alone.
//! * No kernel allocates; only packing does, when [`Panels`] grow. Nothing reads a clock, a file or the environment.
//! * Slices too short for what they describe are a panic before the first element is touched, never a stray read.
//!
//! ```
//! use embedder_simd::{Epilogue, Level, Matrix, MatrixMut, Panels, gemm};
//!
//! // Two rows of three inputs through a layer with one output: y = x · wᵀ + b.
//! let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
//! let weights = Panels::from_columns(Matrix::new(&[1.0, 0.0, -1.0], 1, 3));
//! let mut bias = [0.0; 16];
//! bias[0] = 0.5;
//! let mut y = [0.0; 32];
//! gemm(Level::best(), Matrix::new(&x, 2, 3), &weights, Epilogue::Bias(&bias), MatrixMut::new(&mut y, 2, 16));
//! assert_eq!([y[0], y[16]], [-1.5, -1.5]);
//! ```
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod elementary;
mod gemm;
pub mod int8;
mod isa;
mod level;
mod matrix;
mod norm;
mod panels;
mod softmax;

pub use gemm::{Epilogue, gemm};
pub use isa::LANES;
#[cfg(target_arch = "x86_64")]
pub use isa::avx2::Avx2;
pub use level::Level;
pub use matrix::{Matrix, MatrixMut};
pub use norm::{LayerNorm, accumulate, l2_normalize};
pub use panels::Panels;
pub use softmax::softmax_unnormalised;

/// The smallest multiple of [`LANES`] that holds `len` numbers: the padded length of a row.
pub const fn padded(len: usize) -> usize {
    len.next_multiple_of(LANES)
}
