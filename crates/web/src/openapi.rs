//! `/openapi.json` and the page at `/docs` that reads it; both come out of the binary, nothing is fetched.

use axum::Router;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

use crate::ProblemDocument;

/// The header that carries a user's API key.
pub const API_KEY_HEADER: &str = "X-API-Key";

/// The name of the security scheme in the documents. Every operation needs it unless it says `security(())`.
pub const API_KEY_SCHEME: &str = "api_key";

const PROBLEM: &str = "Problem";

/// Completes a service's document: title, version, the key, and the problem that any operation may answer with.
pub(crate) fn complete(mut api: OpenApi, title: &str, version: &str) -> OpenApi {
    api.info = InfoBuilder::new().title(title).version(version).build();
    api.security = Some(vec![SecurityRequirement::new(API_KEY_SCHEME, Vec::<String>::new())]);

    let components = api.components.get_or_insert_with(|| ComponentsBuilder::new().build());
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(API_KEY_HEADER)));
    components.security_schemes.insert(API_KEY_SCHEME.to_owned(), key.into());
    let mut schemas = vec![(PROBLEM.to_owned(), ProblemDocument::schema())];
    ProblemDocument::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(PROBLEM))).build();
    let problem =
        ResponseBuilder::new().description("Refused or failed").content("application/problem+json", content);
    components.responses.insert(PROBLEM.to_owned(), problem.build().into());

    for operation in api.paths.paths.values_mut().flat_map(operations) {
        let problem = RefOr::Ref(Ref::from_response_name(PROBLEM));
        operation.responses.responses.entry("default".to_owned()).or_insert(problem);
    }
    api
}

pub(crate) fn routes(api: OpenApi) -> Router {
    SwaggerUi::new("/docs").url("/openapi.json", api).into()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}
