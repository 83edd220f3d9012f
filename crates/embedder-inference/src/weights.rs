//! The tensors of `model.safetensors`, checked and as `f32`.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::ModelError;

/// A weights file whose header has been checked against its length.
pub(crate) struct Weights<'a> {
    file: &'a str,
    tensors: SafeTensors<'a>,
    /// What every name starts with: some files keep the encoder inside a larger model and write `bert.` before it.
    prefix: &'static str,
}

/// A tensor whose name tells the prefix.
const FIRST_TENSOR: &str = "embeddings.word_embeddings.weight";

impl<'a> Weights<'a> {
    /// Reads the header of `bytes`, the content of `file`.
    pub(crate) fn parse(file: &'a str, bytes: &'a [u8]) -> Result<Self, ModelError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| ModelError::Malformed {
            file: file.to_owned(),
            reason: error.to_string(),
        })?;
        let prefixed = tensors.tensor(&format!("bert.{FIRST_TENSOR}")).is_ok();
        Ok(Self {
            file,
            tensors,
            prefix: if prefixed { "bert." } else { "" },
        })
    }

    /// The tensor `name`, which must have the shape `expected`, in row-major order.
    pub(crate) fn tensor(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = format!("{}{name}", self.prefix);
        let file = self.file.to_owned();
        let Some(view) = self.view(&tensor) else {
            return Err(ModelError::MissingTensor { file, tensor });
        };
        if view.shape() != expected {
            let (found, expected) = (view.shape().to_vec(), expected.to_vec());
            return Err(ModelError::TensorShape {
                file,
                tensor,
                found,
                expected,
            });
        }
        widen(&view).ok_or_else(|| ModelError::Unsupported {
            file,
            setting: format!("element type of {tensor}"),
            found: format!("{:?}", view.dtype()),
            supported: "F32, F16 or BF16".to_owned(),
        })
    }

    /// A tensor by its name, or by the name that the oldest checkpoints give the parts of a layer normalisation.
    fn view(&self, name: &str) -> Option<TensorView<'a>> {
        let old = || {
            let old = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            self.tensors.tensor(&old).ok()
        };
        self.tensors.tensor(name).ok().or_else(old)
    }
}

/// The elements as `f32`, which holds every F16 and BF16 exactly; `None` for any other type.
fn widen(view: &TensorView<'_>) -> Option<Vec<f32>> {
    // A chunk of the wrong length cannot occur: the length of the data has been checked against shape and type.
    let pairs = || {
        view.data()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| u16::from_le_bytes(*bytes))
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the container's list of types grows"
    )]
    match view.dtype() {
        Dtype::F32 => Some(
            view.data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
        ),
        Dtype::F16 => Some(pairs().map(f16_to_f32).collect()),
        Dtype::BF16 => Some(
            pairs()
                .map(|bits| f32::from_bits(u32::from(bits) << 16))
                .collect(),
        ),
        _ => None,
    }
}

/// An IEEE 754 half as a single: 1 sign bit, 5 of exponent with bias 15, 10 of mantissa.
fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10) & 0x1f;
    let mantissa = u32::from(half) & 0x3ff;
    let magnitude = match exponent {
        // Zero and the subnormal numbers: multiples of 2⁻²⁴.
        0 => (mantissa as f32 * (-24.0f32).exp2()).to_bits(),
        0x1f => 0x7f80_0000 | mantissa << 13,
        _ => (exponent + 127 - 15) << 23 | mantissa << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_float_types_hold_the_same_numbers() {
        let numbers = [1.0f32, -0.375, 240.0, 0.0];
        let bytes_of =
            |bits: fn(f32) -> Vec<u8>| numbers.into_iter().flat_map(bits).collect::<Vec<u8>>();
        let f16 = |number: f32| match number {
            1.0 => 0x3c00u16,
            -0.375 => 0xb600,
            240.0 => 0x5b80,
            _ => 0,
        };
        let half_bytes: Vec<u8> = numbers
            .into_iter()
            .flat_map(|number| f16(number).to_le_bytes())
            .collect();
        for (dtype, data) in [
            (Dtype::F32, bytes_of(|number| number.to_le_bytes().to_vec())),
            (
                Dtype::BF16,
                bytes_of(|number| number.to_le_bytes()[2..].to_vec()),
            ),
            (Dtype::F16, half_bytes),
        ] {
            let view = TensorView::new(dtype, vec![2, 2], &data).unwrap();
            let file = safetensors::serialize([("bert.a", view)], None).unwrap();
            let weights = Weights {
                file: "w",
                tensors: SafeTensors::deserialize(&file).unwrap(),
                prefix: "bert.",
            };
            assert_eq!(
                weights.tensor("a", &[2, 2]),
                Ok(numbers.to_vec()),
                "{dtype:?}"
            );
        }
    }

    #[test]
    fn halves_widen_exactly() {
        for (bits, expected) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(f16_to_f32(bits), expected, "{bits:#06x}");
        }
        assert!(f16_to_f32(0x7e00).is_nan());
        assert_eq!(f16_to_f32(0x8000).to_bits(), (-0.0f32).to_bits());
    }
}
