//! A resolver that can be exchanged while the server runs, because `mta.nameservers` is a setting of the web.

use std::sync::{Arc, PoisonError, RwLock};

use net::{DnsError, Pending, RecordKind, Records, Resolver};

/// The resolver in force.
pub struct SwapResolver {
    inner: RwLock<Arc<dyn Resolver>>,
}

impl SwapResolver {
    /// Begins with `resolver`.
    pub fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self { inner: RwLock::new(resolver) }
    }

    /// Questions from now on go to `resolver`.
    pub fn replace(&self, resolver: Arc<dyn Resolver>) {
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = resolver;
    }

    fn current(&self) -> Arc<dyn Resolver> {
        Arc::clone(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Resolver for SwapResolver {
    fn lookup<'a>(&'a self, name: &'a str, kind: RecordKind) -> Pending<'a, Result<Records, DnsError>> {
        let current = self.current();
        Box::pin(async move { current.lookup(name, kind).await })
    }
}
