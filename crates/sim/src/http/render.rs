//! Objects and lists in the form that the client asked for (`apiserver/pkg/endpoints/handlers/response.go`).

use http::request::Parts;
use jiff::Timestamp;
use serde_json::Value;

use super::accept::{Form, Subject};
use super::list;
use crate::kinds::Kind;
use crate::status::ApiError;
use crate::store::Page;
use crate::table::{self, IncludeObject, TableOptions};

/// How the answers to one request look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rendering {
    form: Form,
    include: IncludeObject,
}

impl Rendering {
    /// Everything as it is.
    pub(super) const PLAIN: Rendering = Rendering { form: Form::Plain, include: IncludeObject::Metadata };

    /// What the headers ask for; `include_object` is the query parameter that tables know.
    ///
    /// # Errors
    /// 406 for a form that the server does not have, 400 for a parameter that it does not know.
    pub(super) fn of(parts: &Parts, include_object: &str) -> Result<Rendering, ApiError> {
        let form = Form::of(&parts.headers, Subject::Objects)?;
        let include = match form {
            Form::Table(_) => IncludeObject::parse(include_object)?,
            Form::Plain | Form::Metadata(_) | Form::MetadataList(_) | Form::AggregatedDiscovery => {
                IncludeObject::Metadata
            }
        };
        Ok(Rendering { form, include })
    }

    fn table(self, version: &'static str) -> TableOptions {
        TableOptions { version, include: self.include }
    }

    /// One object in the form that was asked for, or `None` where that is the object itself.
    ///
    /// # Errors
    /// 406 where a list was asked for.
    pub(super) fn object(
        self,
        kind: &Kind,
        object: &Value,
        now: Timestamp,
    ) -> Result<Option<Value>, ApiError> {
        match self.form {
            Form::Plain | Form::AggregatedDiscovery => Ok(None),
            Form::Table(version) => Ok(Some(table::of_object(kind, object, self.table(version), now))),
            Form::Metadata(version) => Ok(Some(table::metadata_only(object, version))),
            Form::MetadataList(_) => {
                let because = format!("not a list ({})", go_type(kind, ""));
                Err(ApiError::not_acceptable_as("PartialObjectMetadataList", &because))
            }
        }
    }

    /// A page of a list in the form that was asked for, or `None` where that is the list itself.
    ///
    /// # Errors
    /// 406 where one object was asked for.
    pub(super) fn list(self, kind: &Kind, page: &Page, now: Timestamp) -> Result<Option<Value>, ApiError> {
        let objects = page.items.iter().map(|object| &***object);
        let metadata = list::metadata(page);
        match self.form {
            Form::Plain | Form::AggregatedDiscovery => Ok(None),
            Form::Table(version) => {
                Ok(Some(table::of_list(kind, objects, &metadata, self.table(version), now)))
            }
            Form::MetadataList(version) => Ok(Some(table::metadata_list(objects, &metadata, version))),
            Form::Metadata(_) => {
                let because = format!("a list ({})", go_type(kind, "List"));
                Err(ApiError::not_acceptable_as("PartialObjectMetadata", &because))
            }
        }
    }

    /// The object of a watch's event, or `None` where it goes out as it is. Only the first table has columns.
    pub(super) fn watched(self, kind: &Kind, object: &Value, first: bool, now: Timestamp) -> Option<Value> {
        match self.form {
            Form::Plain | Form::AggregatedDiscovery => None,
            Form::Table(version) if first => Some(table::of_object(kind, object, self.table(version), now)),
            Form::Table(version) => Some(table::of_next(kind, object, self.table(version), now)),
            Form::Metadata(version) | Form::MetadataList(version) => {
                Some(table::metadata_only(object, version))
            }
        }
    }
}

/// What the API server's own language calls the type of a kind: packages are named by the first word of the group.
fn go_type(kind: &Kind, suffix: &str) -> String {
    let package = kind.group.split('.').next().filter(|word| !word.is_empty()).unwrap_or("core");
    format!("*{package}.{}{suffix}", kind.kind)
}
