//! Deletion of all objects that a list would show.

use std::sync::Arc;

use super::{Api, DeleteOptions, Deleted, WriteOptions};
use crate::kinds::Kind;
use crate::object::{self, Object};
use crate::status::ApiError;
use crate::store::{ListQuery, Page};

impl Api {
    /// Deletes what the query selects; the answer is the list of it.
    pub(crate) fn delete_collection(
        &self,
        kind: &'static Kind,
        query: &ListQuery,
        options: &DeleteOptions,
        write: &WriteOptions,
    ) -> Result<Page, ApiError> {
        let mut page = self.list(kind, query)?;
        let mut deleted: Vec<Arc<Object>> = Vec::with_capacity(page.items.len());
        for item in &page.items {
            let (namespace, name) = (object::namespace(item), object::name(item));
            match self.delete_with(kind, namespace, name, options, write) {
                Ok(Deleted::Gone(object) | Deleted::Terminating(object)) => deleted.push(object),
                // Somebody else was faster.
                Err(error) if error.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        page.items = deleted;
        Ok(page)
    }
}
