//! A token that is replaced while it is in use.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use http::{HeaderValue, Request, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};

use crate::AccessError;

/// A bearer token that ends before the work does that it is used for: each request has the one that is there just then. Cheap to
/// clone; all clones are the same one.
#[derive(Clone)]
pub struct Bearer(Arc<RwLock<HeaderValue>>);

impl Bearer {
    /// With its first token.
    ///
    /// # Errors
    /// [`AccessError::Credentials`] when it cannot be sent.
    pub fn new(token: &SecretString) -> Result<Self, AccessError> {
        Ok(Self(Arc::new(RwLock::new(header(token)?))))
    }

    /// Requests have this one from now on.
    ///
    /// # Errors
    /// [`AccessError::Credentials`] when it cannot be sent; the one before stays.
    pub fn replace(&self, token: &SecretString) -> Result<(), AccessError> {
        let header = header(token)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = header;
        Ok(())
    }

    pub(crate) fn put_into<B>(&self, mut request: Request<B>) -> Request<B> {
        let header = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        request.headers_mut().insert(AUTHORIZATION, header);
        request
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").finish_non_exhaustive()
    }
}

fn header(token: &SecretString) -> Result<HeaderValue, AccessError> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
    let mut value =
        value.map_err(|_| AccessError::Credentials("the token holds what no header may hold".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_the_token_of_its_time() {
        let bearer = Bearer::new(&"first".into()).unwrap();
        let sent = |bearer: &Bearer| bearer.put_into(Request::new(())).headers()[AUTHORIZATION].clone();
        assert_eq!(sent(&bearer), "Bearer first");
        bearer.clone().replace(&"second".into()).unwrap();
        assert!(bearer.replace(&"no\ntoken".into()).is_err());
        assert_eq!(sent(&bearer), "Bearer second");
        assert!(!format!("{bearer:?} {:?}", sent(&bearer)).contains("second"));
    }
}
