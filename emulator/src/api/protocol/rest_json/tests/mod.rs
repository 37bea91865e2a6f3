//! A service as the generator writes it from a model, served whole.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::RestJson;
use crate::api::answer::answer;
use crate::api::operation::Output;
use crate::api::protocol::Protocol;
use crate::api::service::Service;
use crate::api::shape::Validate;
use crate::api::tests::{emulator, whole};
use crate::api::{Context, Emulator, Error, Operation};

#[allow(unreachable_pub, reason = "generated: in the product these modules are public")]
mod model {
    use crate::api::shape;

    pub mod garden;
}

use model::garden;

struct CreatePlant;

impl Operation for CreatePlant {
    const NAME: &'static str = "CreatePlant";
    type Input = garden::CreatePlantRequest;
    type Output = garden::CreatePlantResponse;

    async fn handle(
        _: &Context,
        input: garden::CreatePlantRequest,
    ) -> Result<garden::CreatePlantResponse, Error> {
        let garden::CreatePlantRequest { client_token, garden_name, height, plant_name } = input;
        if plant_name.as_deref() == Some("rose") {
            return Err(Error::new(garden::error::PLANT_EXISTS, "There is one.").with("plant", "rose"));
        }
        Ok(garden::CreatePlantResponse {
            etag: client_token,
            // The name of the garden decides whether the response has the model's status.
            http_status: garden_name.filter(|name| name == "a/b").map(|_| 202),
            plant: Some(garden::Plant { height, name: plant_name }),
        })
    }
}

struct ListPlants;

impl Operation for ListPlants {
    const NAME: &'static str = "ListPlants";
    type Input = garden::ListPlantsRequest;
    type Output = garden::ListPlantsResponse;

    async fn handle(
        _: &Context,
        input: garden::ListPlantsRequest,
    ) -> Result<garden::ListPlantsResponse, Error> {
        assert_eq!((input.garden_name.as_deref(), input.in_bloom), (Some("kew"), Some(true)));
        let named = |name| garden::Plant { height: input.max_results, name: Some(name) };
        Ok(garden::ListPlantsResponse {
            plants: input.names.map(|names| names.into_iter().map(named).collect()),
        })
    }
}

struct DeletePlant;

impl Operation for DeletePlant {
    const NAME: &'static str = "DeletePlant";
    type Input = garden::DeletePlantRequest;
    type Output = ();

    async fn handle(_: &Context, input: garden::DeletePlantRequest) -> Result<(), Error> {
        assert_eq!(input.plant_name.as_deref(), Some("a b"));
        Ok(())
    }
}

/// An operation that streams: each event is sent when it happens.
struct WatchPlants;

#[derive(Debug, Deserialize)]
struct Nothing {}

impl Validate for Nothing {}

struct Events(mpsc::UnboundedReceiver<Bytes>);

impl Output for Events {
    fn respond<P: Protocol>(self, _: &P, _: &'static str, _: &str) -> Result<Response<Body>, Error> {
        let events = UnboundedReceiverStream::new(self.0).map(Ok::<_, std::io::Error>);
        let response = Response::builder().header(CONTENT_TYPE, "application/vnd.amazon.eventstream");
        response.body(Body::from_stream(events)).map_err(Error::failure)
    }
}

impl Operation for WatchPlants {
    const NAME: &'static str = "WatchPlants";
    type Input = Nothing;
    type Output = Events;

    async fn handle(_: &Context, Nothing {}: Nothing) -> Result<Events, Error> {
        let (send, events) = mpsc::unbounded_channel();
        send.send(Bytes::from_static(b"first")).unwrap();
        // The stream stays open until the test drops it.
        tokio::spawn(async move {
            send.closed().await;
        });
        Ok(Events(events))
    }
}

fn services() -> [Service<RestJson>; 1] {
    let codes = [garden::error::PLANT_EXISTS; 2];
    let service = Service::new("garden", RestJson { routes: garden::ROUTES }, garden::OPERATIONS, codes);
    [service.with::<CreatePlant>().with::<ListPlants>().with::<DeletePlant>().with::<WatchPlants>()]
}

async fn ask(emulator: &Emulator, method: &str, uri: &str, body: &str) -> (u16, http::HeaderMap, String) {
    let request = Request::builder().method(method).uri(uri).header("x-client-token", "t1");
    let request = request.body(Body::from(body.to_owned())).unwrap();
    whole(answer(&services(), emulator, request).await).await
}

#[tokio::test]
async fn members_are_read_from_path_query_header_and_body_and_written_to_status_header_and_body() {
    let (emulator, _data) = emulator().await;
    // The path names the garden; the name in the body is ignored.
    let body = r#"{"name": "fern", "height": 3, "gardenName": "other", "unknown": [1]}"#;
    let (status, headers, answer) = ask(&emulator, "POST", "/gardens/kew/plants", body).await;
    assert_eq!((status, answer.as_str()), (201, r#"{"plant":{"height":3,"name":"fern"}}"#));
    assert_eq!(
        (&headers["etag"], &headers[CONTENT_TYPE]),
        (&"t1".parse().unwrap(), &"application/json".parse().unwrap())
    );
    assert_eq!(ask(&emulator, "POST", "/gardens/a%2Fb/plants", body).await.0, 202, "an encoded slash");

    let (status, _, answer) =
        ask(&emulator, "GET", "/gardens/kew/plants?maxResults=5&bloom=true&name=a&name=b%20c", "").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer, r#"{"plants":[{"height":5,"name":"a"},{"height":5,"name":"b c"}]}"#);

    assert_eq!(ask(&emulator, "DELETE", "/gardens/kew/plants/a%20b", "").await.0, 200);
}

#[tokio::test]
async fn a_refused_request_gets_the_errors_own_status_and_its_code_in_a_header() {
    let (emulator, _data) = emulator().await;
    for (method, uri, body, status, code, expected) in [
        (
            "POST",
            "/gardens/kew/plants",
            r#"{"name": "rose"}"#,
            409,
            "PlantExistsException",
            r#""plant":"rose""#,
        ),
        ("POST", "/gardens/kew/plants", "{}", 409, "PlantExistsException", "Value null at 'plantName'"),
        (
            "POST",
            "/gardens/kew/plants",
            r#"{"height": "x"}"#,
            400,
            "SerializationException",
            "STRING_VALUE can not",
        ),
        (
            "GET",
            "/gardens/kew/plants?maxResults=x",
            "",
            400,
            "SerializationException",
            "'x' can not be converted to an Integer",
        ),
        ("GET", "/gardens/kew/plants?maxResults=0", "", 409, "PlantExistsException", "'maxResults'"),
        (
            "PUT",
            "/gardens/kew/plants",
            "",
            404,
            "UnknownOperationException",
            "There is no PUT /gardens/kew/plants",
        ),
        ("GET", "/gardens//plants", "", 404, "UnknownOperationException", "There is no GET"),
        ("GET", "/gardens", "", 404, "UnknownOperationException", "There is no GET"),
    ] {
        let (found, headers, answer) = ask(&emulator, method, uri, body).await;
        assert_eq!(found, status, "{method} {uri}: {answer}");
        assert_eq!(headers["x-amzn-errortype"], code, "{method} {uri}");
        assert!(answer.contains(expected), "{method} {uri}: {answer}");
    }
}

#[tokio::test]
async fn an_operation_streams_its_events_while_it_runs() {
    let (emulator, _data) = emulator().await;
    let request = Request::get("/watch-plants").body(Body::empty()).unwrap();
    let response = answer(&services(), &emulator, request).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/vnd.amazon.eventstream");
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&first[..], b"first");
}
