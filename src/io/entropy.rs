//! Randomness from the operating system, for what nobody may guess.

use std::io;

/// Thirty-two random bytes.
///
/// # Errors
/// Those of the operating system.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::getrandom(&mut seed)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_seeds_are_alike() {
        let draw = || super::seed().expect("the system has randomness");
        assert_ne!(draw(), draw());
    }
}
