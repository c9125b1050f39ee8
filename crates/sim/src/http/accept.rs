//! The `Accept` header: in which form a client wants an answer
//! (`apiserver/pkg/endpoints/handlers/negotiation/negotiate.go`).

use http::HeaderMap;
use http::header::ACCEPT;

use crate::status::ApiError;

/// Headers with more clauses than this are no client's; what follows is not read.
const MOST_CLAUSES: usize = 32;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The object or list itself.
    Plain,
    /// A `Table` of `meta.k8s.io`, in this version.
    Table(&'static str),
    /// `PartialObjectMetadata` of `meta.k8s.io`, in this version.
    Metadata(&'static str),
    /// `PartialObjectMetadataList` of `meta.k8s.io`, in this version.
    MetadataList(&'static str),
    /// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
    AggregatedDiscovery,
}

/// What kind of thing is asked for: not every form fits everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Objects, lists and watches.
    Objects,
    /// `/api` and `/apis`.
    Discovery,
    /// Everything else.
    Other,
}

impl Form {
    /// The first form that the client accepts and the server has.
    ///
    /// # Errors
    /// 406 where there is none.
    pub(crate) fn of(headers: &HeaderMap, subject: Subject) -> Result<Form, ApiError> {
        let lines: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
        let header = lines.join(",");
        if header.trim().is_empty() {
            return Ok(Form::Plain);
        }
        let mut clauses: Vec<Clause<'_>> = header.split(',').take(MOST_CLAUSES).map(Clause::parse).collect();
        // Stable: among equals the first counts.
        clauses.sort_by(|one, other| other.quality.total_cmp(&one.quality));
        clauses.iter().find_map(|clause| clause.form(subject)).ok_or_else(ApiError::not_acceptable)
    }
}

/// One of the media types that a client accepts.
struct Clause<'a> {
    media_type: &'a str,
    quality: f64,
    /// `as`, `g` and `v`: what the answer is to be converted to.
    kind: &'a str,
    group: &'a str,
    version: &'a str,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Clause<'a> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let mut clause = Clause { media_type, quality: 1.0, kind: "", group: "", version: "" };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => clause.quality = value.trim().parse().unwrap_or(1.0),
                "as" => clause.kind = value,
                "g" => clause.group = value,
                "v" => clause.version = value,
                _ => {}
            }
        }
        clause
    }

    /// The form that this asks for, or `None` where the server does not have it for the subject.
    fn form(&self, subject: Subject) -> Option<Form> {
        let media_type = self.media_type.to_ascii_lowercase();
        if !["application/json", "application/*", "*/*"].contains(&media_type.as_str()) {
            return None;
        }
        match (subject, self.kind, self.group) {
            (_, "", _) => Some(Form::Plain),
            (Subject::Objects, "Table", "meta.k8s.io") => self.meta_version().map(Form::Table),
            (Subject::Objects, "PartialObjectMetadata", "meta.k8s.io") => {
                self.meta_version().map(Form::Metadata)
            }
            (Subject::Objects, "PartialObjectMetadataList", "meta.k8s.io") => {
                self.meta_version().map(Form::MetadataList)
            }
            (Subject::Discovery, "APIGroupDiscoveryList", "apidiscovery.k8s.io") if self.version == "v2" => {
                Some(Form::AggregatedDiscovery)
            }
            _ => None,
        }
    }

    /// `meta.k8s.io` is spoken in both of its versions.
    fn meta_version(&self) -> Option<&'static str> {
        ["v1", "v1beta1"].into_iter().find(|version| *version == self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(header: &str, subject: Subject) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, header.parse().unwrap());
        match Form::of(&headers, subject) {
            Ok(form) => Some(form),
            Err(error) => {
                assert_eq!((error.code, error.reason), (406, "NotAcceptable"));
                None
            }
        }
    }

    #[test]
    fn what_clients_send() {
        let kubectl_get = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;\
                           g=meta.k8s.io,application/json";
        assert_eq!(form(kubectl_get, Subject::Objects), Some(Form::Table("v1")));
        assert_eq!(form(kubectl_get, Subject::Other), Some(Form::Plain));
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;\
                         g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(form(discovery, Subject::Discovery), Some(Form::AggregatedDiscovery));
        assert_eq!(form(discovery, Subject::Objects), Some(Form::Plain));
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                        application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        assert_eq!(form(metadata, Subject::Objects), Some(Form::MetadataList("v1")));
        for plain in
            ["*/*", "application/json", "text/html, */*;q=0.1", "application/*", " ", "Application/JSON"]
        {
            assert_eq!(form(plain, Subject::Objects), Some(Form::Plain), "{plain}");
        }
    }

    #[test]
    fn what_is_not_served() {
        for header in [
            "text/html",
            "application/vnd.kubernetes.protobuf",
            "application/json;as=Table;v=v2;g=meta.k8s.io",
            "application/json;as=Table;v=v1;g=other",
            "application/json;as=Chair;v=v1;g=meta.k8s.io",
            ";;,,=",
        ] {
            assert_eq!(form(header, Subject::Objects), None, "{header}");
        }
    }

    #[test]
    fn quality_decides_before_order() {
        let header = "application/json;q=0.5,application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(form(header, Subject::Objects), Some(Form::Table("v1")));
    }
}
