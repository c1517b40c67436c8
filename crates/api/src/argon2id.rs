//! Argon2id hashes as PHC strings, computed in memory that each thread keeps.
//!
//! A hash needs 19 MiB, aligned to cache lines. Allocated and released for every hash, the memory
//! of a process grows to hundreds of MiB: glibc reuses a released aligned block only if it is
//! larger than the next one of the same size (`memalign` asks for the alignment in addition).

use std::cell::RefCell;

use argon2::password_hash::Error;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Size of a salt, in bytes (RFC 9106, 3.1).
const SALT_BYTES: usize = 16;

thread_local! {
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// Hash a password with the default parameters of the crate and a random salt.
pub fn hash(password: &str) -> Result<String, Error> {
    let argon2 = Argon2::default();
    let salt = Salt::new(&rand::random::<[u8; SALT_BYTES]>())?;
    let output = output_of(&argon2, password, &salt)?;
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params())?,
        salt: Some(salt),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// Return whether a password matches a hash, of any variant and with any parameters.
pub fn matches(password: &str, hash: &str) -> bool {
    let verified = || {
        let stored = PasswordHash::new(hash).ok()?;
        let (salt, expected) = stored.salt.as_ref().zip(stored.hash.as_ref())?;
        let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
        let version = stored.version.map(Version::try_from).transpose().ok()?;
        let params = Params::try_from(&stored).ok()?;
        let argon2 = Argon2::new(algorithm, version.unwrap_or_default(), params);
        let output = output_of(&argon2, password, salt).ok()?;
        // Outputs are compared in constant time.
        Some(output == *expected)
    };
    verified().unwrap_or(false)
}

/// Compute a hash in the memory of this thread.
fn output_of(argon2: &Argon2<'_>, password: &str, salt: &[u8]) -> Result<Output, Error> {
    let length = argon2.params().output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let mut buffer = [0; Output::MAX_LENGTH];
    let output = buffer.get_mut(..length).ok_or(Error::OutputSize)?;
    MEMORY.with_borrow_mut(|memory| {
        memory.resize(argon2.params().block_count(), Block::new());
        argon2.hash_password_into_with_memory(
            password.as_bytes(),
            salt,
            output,
            memory.as_mut_slice(),
        )
    })?;
    Ok(Output::new(output)?)
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher, PasswordVerifier};

    use super::*;

    #[test]
    fn agrees_with_the_crate() -> Result<(), Error> {
        let argon2 = Argon2::default();
        for password in ["Praia#2026", "", "quatro palavras"] {
            let own = hash(password)?;
            assert!(own.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{own}");
            argon2.verify_password(password.as_bytes(), own.as_str())?;
            let crates: PasswordHash = argon2.hash_password(password.as_bytes())?;
            for hash in [own, crates.to_string()] {
                assert!(matches(password, &hash), "{hash}");
                assert!(!matches("another", &hash), "{hash}");
            }
        }
        Ok(())
    }

    #[test]
    fn accepts_other_parameters_after_the_own_ones() -> Result<(), Error> {
        hash("Praia#2026")?;
        let params = Params::new(64, 3, 2, Some(24)).map_err(|_| Error::ParamsInvalid)?;
        let other = Argon2::new(Algorithm::Argon2i, Version::V0x10, params);
        let stored: PasswordHash = other.hash_password(b"Praia#2026")?;
        assert!(matches("Praia#2026", &stored.to_string()), "{stored}");
        assert!(!matches("Praia#2027", &stored.to_string()));
        Ok(())
    }

    #[test]
    fn rejects_what_is_no_hash() {
        for text in ["", "Praia#2026", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ"] {
            assert!(!matches("Praia#2026", text), "{text}");
        }
    }
}
