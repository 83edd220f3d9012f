//! Why a model folder, or a list of token ids, was refused.

/// A model that cannot be loaded: which file, what is wrong with it and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file that the model cannot do without is absent.
    #[error("model file {file} is missing; pull the model again")]
    MissingFile {
        /// Path inside the model folder.
        file: String,
    },
    /// A file is there but its source could not deliver it.
    #[error(
        "model file {file} could not be read ({reason}); check its permissions or pull the model again"
    )]
    Unreadable {
        /// Path inside the model folder.
        file: String,
        /// What the source said.
        reason: String,
    },
    /// A file is cut short, is not in its format, or contradicts itself.
    #[error("model file {file} is damaged ({reason}); pull the model again")]
    Malformed {
        /// Path inside the model folder.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model needs something this encoder does not do.
    #[error(
        "model file {file} asks for {setting} {found}, but only {supported} is supported; choose another model"
    )]
    Unsupported {
        /// Path inside the model folder.
        file: String,
        /// What is not supported, in the file's own words.
        setting: String,
        /// The value found.
        found: String,
        /// The values that would do.
        supported: String,
    },
    /// A size is zero, or beyond what any model of the family has.
    #[error(
        "model file {file} sets {setting} to {found}, outside {min} to {max}; pull the model again"
    )]
    OutOfRange {
        /// Path inside the model folder.
        file: String,
        /// The setting's name in the file.
        setting: String,
        /// Its value.
        found: usize,
        /// The smallest acceptable value.
        min: usize,
        /// The largest acceptable value.
        max: usize,
    },
    /// The weights lack a tensor that the configuration calls for.
    #[error("model file {file} has no tensor {tensor}; pull the model again")]
    MissingTensor {
        /// Path inside the model folder.
        file: String,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor's shape contradicts the configuration.
    #[error(
        "tensor {tensor} of model file {file} is {found:?}, but the configuration calls for {expected:?}; pull the model again"
    )]
    TensorShape {
        /// Path inside the model folder.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// Its shape by the configuration.
        expected: Vec<usize>,
    },
}

/// Token ids that are not a text of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdsError {
    /// There are no ids.
    #[error("there are no token ids; give at least one")]
    Empty,
    /// There are more than the model reads.
    #[error(
        "{count} tokens, special ones included, are more than the model reads; give at most {max}"
    )]
    TooMany {
        /// Tokens of the text, those included that are added at its ends.
        count: usize,
        /// The most that the model reads, likewise.
        max: usize,
    },
    /// An id is none of the model's tokens.
    #[error(
        "token id {id} at position {position} is not in the model's vocabulary; ids are below {vocabulary}"
    )]
    Unknown {
        /// Where in the list it is, counted from zero.
        position: usize,
        /// The id.
        id: u32,
        /// How many tokens the model has.
        vocabulary: usize,
    },
}
