//! Applied to every request: the guard, and an id in its response.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::HeaderName;
use http::{HeaderValue, Method, Uri};
use tower::{Service, ServiceExt as _};

use super::guard::Guard;
use crate::admin;
use crate::api::{self, Api, Caller, Emulator, Error, RequestId, common};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// All that the server serves: AWS's operations and Neargate's own paths. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    guard: Guard,
    api: Api,
    /// Of all but `POST /`, which is nearly every request and needs no routing.
    router: Router,
}

impl Door {
    pub fn new(emulator: Emulator, guard: Guard) -> Self {
        let api = Api::new(emulator.clone());
        let rest = api.clone();
        let router = Router::new()
            .route("/", any(not_allowed))
            .merge(admin::routes(emulator))
            .method_not_allowed_fallback(not_allowed)
            .fallback(async move |request: Request| rest.at_a_path(request).await);
        Self(Arc::new(Inner { guard, api, router }))
    }

    async fn respond(&self, mut request: Request) -> Response {
        let Inner { guard, api, router } = &*self.0;
        // Of the thread's own generator: the operating system's takes a call per id.
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string();
        let header = HeaderValue::from_str(&id);
        let mut response = match admit(guard, &request) {
            Ok(()) => {
                request.extensions_mut().insert(RequestId(id));
                if request.method() == Method::POST && request.uri().path() == "/" {
                    api.at_the_root(request).await
                } else {
                    router.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
                }
            }
            Err(refused) => api::refusal(&Error::new(common::ACCESS_DENIED, refused)),
        };
        if let Ok(header) = header {
            response.headers_mut().insert(REQUEST_ID, header);
        }
        response
    }
}

impl Service<http::Request<Body>> for Door {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let door = self.clone();
        async move { Ok(door.respond(request).await) }.boxed()
    }
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
