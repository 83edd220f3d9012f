//! Vectors that are made of words, so that texts which share words are near each other.

/// The vector of a text, of length 1. Each word, in small letters, adds to one of the numbers or takes from it; which
/// one follows from the word alone. A text without a word has a vector too.
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    for word in words(text) {
        let hash = blake3::hash(word.as_bytes());
        let bits = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
        let (place, adds) = (bits >> 1, bits & 1 == 0);
        vector[(place % dimensions as u64) as usize] += if adds { 1.0 } else { -1.0 };
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm == 0.0 {
        vector[0] = 1.0;
        return vector;
    }
    vector.iter().map(|x| x / norm).collect()
}

/// The words of a text in small letters.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}
