//! Responses in XML: a member is an element, a list an element of `item`s, in AWS's query of `member`s.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde::Serialize;
use serde_json::Value;

use super::{Flavor, Query};
use crate::api::error::Error;
use crate::api::protocol::Fault;

/// Writes a response's body.
pub(super) fn encode<T: Serialize>(
    dialect: Query,
    operation: &str,
    request_id: &str,
    output: &T,
) -> Result<Vec<u8>, Error> {
    // First as a tree of values, so that the types are independent of the XML form.
    let output = serde_json::to_value(output).map_err(Error::failure)?;
    let mut document = Document::new(dialect.flavor);
    let response = format!("{operation}Response");
    document.open(BytesStart::new(&*response).with_attributes([("xmlns", dialect.namespace)]));
    match dialect.flavor {
        Flavor::Ec2 => {
            document.text("requestId", request_id);
            document.members(&output);
        }
        Flavor::Aws => {
            document.value(&format!("{operation}Result"), &output);
            document.within("ResponseMetadata", |document| document.text("RequestId", request_id));
        }
    }
    document.close(&response);
    Ok(document.end())
}

/// An error's body.
pub(super) fn error(flavor: Flavor, fault: &Fault<'_>, request_id: &str) -> Vec<u8> {
    let mut document = Document::new(flavor);
    let code_and_message = |document: &mut Document| {
        document.text("Code", fault.code.name());
        document.text("Message", fault.message);
    };
    match flavor {
        Flavor::Ec2 => document.within("Response", |document| {
            document.within("Errors", |document| document.within("Error", code_and_message));
            document.text("RequestID", request_id);
        }),
        Flavor::Aws => document.within("ErrorResponse", |document| {
            document.within("Error", |document| {
                document.text("Type", if fault.status.is_server_error() { "Receiver" } else { "Sender" });
                code_and_message(document);
            });
            document.text("RequestId", request_id);
        }),
    }
    document.end()
}

struct Document {
    writer: Writer<Vec<u8>>,
    element: &'static str,
}

impl Document {
    fn new(flavor: Flavor) -> Self {
        let element = match flavor {
            Flavor::Ec2 => "item",
            Flavor::Aws => "member",
        };
        let mut document = Self { writer: Writer::new(Vec::new()), element };
        document.write(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        document
    }

    fn end(self) -> Vec<u8> {
        self.writer.into_inner()
    }

    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::String(text) => self.text(name, text),
            Value::Bool(_) | Value::Number(_) => self.text(name, &value.to_string()),
            Value::Object(_) => self.within(name, |document| document.members(value)),
            Value::Array(elements) => self.within(name, |document| {
                for element in elements {
                    document.value(document.element, element);
                }
            }),
        }
    }

    fn members(&mut self, structure: &Value) {
        for (name, value) in structure.as_object().into_iter().flatten() {
            self.value(name, value);
        }
    }

    fn within(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(BytesStart::new(name));
        content(self);
        self.close(name);
    }

    fn text(&mut self, name: &str, text: &str) {
        // XML 1.0, "Characters": it has no way to write most control characters, U+FFFE and U+FFFF.
        let fit = |letter: char| match letter {
            '\t' | '\n' | '\r' => true,
            '\u{fffe}' | '\u{ffff}' => false,
            other => !other.is_control(),
        };
        let text: String = text
            .chars()
            .map(|letter| if fit(letter) { letter } else { char::REPLACEMENT_CHARACTER })
            .collect();
        self.within(name, |document| document.write(Event::Text(BytesText::new(&text))));
    }

    fn open(&mut self, start: BytesStart<'_>) {
        self.write(Event::Start(start));
    }

    fn close(&mut self, name: &str) {
        self.write(Event::End(BytesEnd::new(name)));
    }

    fn write(&mut self, event: Event<'_>) {
        // Writing into a Vec cannot fail.
        let _ = self.writer.write_event(event);
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::api::error::common;
    use crate::api::model::ec2;

    #[test]
    fn a_response_has_the_form_of_its_flavor() {
        let output = ec2::DescribeVpcsResult {
            next_token: None,
            vpcs: Some(vec![ec2::Vpc {
                vpc_id: Some("vpc-1 <&>".to_owned()),
                is_default: Some(true),
                tags: Some(Vec::new()),
                ..ec2::Vpc::default()
            }]),
        };
        let dialect = |flavor| Query { flavor, version: "1", namespace: "urn:n" };
        let text =
            |flavor| String::from_utf8(encode(dialect(flavor), "Ask", "id", &output).unwrap()).unwrap();
        let vpc = "<isDefault>true</isDefault><tagSet></tagSet><vpcId>vpc-1 &lt;&amp;&gt;</vpcId>";
        assert_eq!(
            text(Flavor::Ec2),
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><AskResponse xmlns=\"urn:n\"><requestId>id</requestId>\
                 <vpcSet><item>{vpc}</item></vpcSet></AskResponse>"
            )
        );
        assert_eq!(
            text(Flavor::Aws),
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><AskResponse xmlns=\"urn:n\"><AskResult><vpcSet><member>{vpc}\
                 </member></vpcSet></AskResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></AskResponse>"
            )
        );
    }

    #[test]
    fn an_error_has_the_form_of_its_flavor_and_is_always_well_formed() {
        let text = |flavor| {
            let fault = Fault {
                status: StatusCode::BAD_REQUEST,
                code: common::INVALID_ACTION,
                message: "a\u{1}\u{fffe}\u{ffff}<b",
                members: None,
            };
            let body = error(flavor, &fault, "id");
            String::from_utf8(body).unwrap().split_off(38)
        };
        let inner = "<Code>InvalidAction</Code><Message>a\u{fffd}\u{fffd}\u{fffd}&lt;b</Message></Error>";
        assert_eq!(
            text(Flavor::Ec2),
            format!("<Response><Errors><Error>{inner}</Errors><RequestID>id</RequestID></Response>")
        );
        assert_eq!(
            text(Flavor::Aws),
            format!(
                "<ErrorResponse><Error><Type>Sender</Type>{inner}<RequestId>id</RequestId></ErrorResponse>"
            )
        );
    }
}
