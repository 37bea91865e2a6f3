//! Applied to every request: the guard, and an id in its response.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::header::HeaderName;
use http::{HeaderValue, Method, Uri};
use uuid::Uuid;

use super::guard::Guard;
use crate::admin;
use crate::api::{self, Caller, Emulator, Error, RequestId, common};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// All routes of the server: AWS's operations and Neargate's own paths.
pub fn router(emulator: Emulator, guard: Guard) -> Router {
    Router::new()
        .merge(api::routes(emulator.clone()))
        .merge(admin::routes(emulator))
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(Arc::new(guard), at_the_door))
}

async fn at_the_door(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    let header = HeaderValue::from_str(&id);
    let mut response = match admit(&guard, &request) {
        Ok(()) => {
            request.extensions_mut().insert(RequestId(id));
            next.run(request).await
        }
        Err(refused) => api::refusal(&Error::new(common::ACCESS_DENIED, refused)),
    };
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

fn admit(guard: &Guard, request: &Request) -> Result<(), String> {
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_default();
    if caller != Caller::Host && request.uri().path().starts_with(admin::PREFIX) {
        return Err(format!(
            "{}… may only be called from the machine on which neargate runs, not from tasks",
            admin::PREFIX
        ));
    }
    guard.check(&caller, request.uri(), request.headers()).map_err(|refused| refused.to_string())
}

async fn not_allowed(method: Method, uri: Uri) -> Response {
    let message = format!("{method} {} is not allowed.", uri.path());
    api::refusal(&Error::new(common::METHOD_NOT_ALLOWED, message))
}
