//! Tokens: who announces or puts must have asked here before, from the same address.
//!
//! A datagram's sender can be forged, so nobody may have something stored in another's name. The
//! answer to `get_peers` and `get` carries a token that only this node can make, for the address
//! that asked; who brings it back has received it there. Secrets change every [`ROTATION_MS`]; the
//! one before is still good, so a token lives for five to ten minutes (BEP 5).

use core::net::Ipv4Addr;

use super::chance::Random;

/// Time between two changes of the secret, in milliseconds (BEP 5, and Grenache).
pub(crate) const ROTATION_MS: u64 = 5 * 60 * 1_000;

/// Bytes of a token, as many as Grenache's have.
pub(crate) const TOKEN_BYTES: usize = 20;

/// The present secret and the one before.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    secrets: [[u8; 32]; 2],
    rotate_ms: u64,
}

impl Tokens {
    pub(crate) fn new(now_ms: u64, random: &mut Random) -> Self {
        Self {
            secrets: [random.bytes(), random.bytes()],
            rotate_ms: now_ms + ROTATION_MS,
        }
    }

    /// When the secret changes next.
    pub(crate) fn next_rotation_ms(&self) -> u64 {
        self.rotate_ms
    }

    /// Changes the secret if it is time.
    pub(crate) fn tick(&mut self, now_ms: u64, random: &mut Random) {
        if now_ms >= self.rotate_ms {
            // After a pause of more than one turn both are too old.
            let missed = now_ms >= self.rotate_ms + ROTATION_MS;
            let previous = if missed {
                random.bytes()
            } else {
                self.secrets[0]
            };
            self.secrets = [random.bytes(), previous];
            self.rotate_ms = now_ms + ROTATION_MS;
        }
    }

    /// The token for whoever asks from this address.
    pub(crate) fn make(&self, address: Ipv4Addr) -> [u8; TOKEN_BYTES] {
        token(&self.secrets[0], address)
    }

    /// Whether it is a token that this address was given.
    pub(crate) fn is_good(&self, address: Ipv4Addr, presented: &[u8]) -> bool {
        // Hashes are compared in constant time: how long it takes says nothing of the token.
        let presented = blake3::hash(presented);
        let mut tokens = self.secrets.iter().map(|secret| token(secret, address));
        tokens.any(|token| blake3::hash(&token) == presented)
    }
}

fn token(secret: &[u8; 32], address: Ipv4Addr) -> [u8; TOKEN_BYTES] {
    let hash = blake3::keyed_hash(secret, &address.octets());
    *hash
        .as_bytes()
        .first_chunk()
        .expect("a hash is longer than a token")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    #[test]
    fn a_token_is_good_for_its_address_and_for_one_turn_more() {
        let mut random = Random::new(&[7; 32]);
        let mut tokens = Tokens::new(0, &mut random);
        let token = tokens.make(ASKER);
        assert!(tokens.is_good(ASKER, &token));
        assert!(!tokens.is_good(Ipv4Addr::new(10, 0, 0, 2), &token));
        assert!(!tokens.is_good(ASKER, &token[..19]));
        tokens.tick(ROTATION_MS, &mut random);
        assert!(tokens.is_good(ASKER, &token), "the secret before is good");
        tokens.tick(2 * ROTATION_MS, &mut random);
        assert!(!tokens.is_good(ASKER, &token));
    }

    #[test]
    fn after_a_long_pause_no_old_token_is_good() {
        let mut random = Random::new(&[7; 32]);
        let mut tokens = Tokens::new(0, &mut random);
        let token = tokens.make(ASKER);
        tokens.tick(2 * ROTATION_MS, &mut random);
        assert!(!tokens.is_good(ASKER, &token));
    }
}
