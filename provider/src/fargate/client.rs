//! The SDK's clients, created once from the usual configuration chain.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::tls;

use super::{Health, quota::Quotas};
use crate::options;

/// How long one attempt of a call may take. RunTask of ten pods returns within a second; a page of logs within two.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call may take with its retries.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(25);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// AWS as the provider sees it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    ecs: aws_sdk_ecs::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    region: String,
    cluster: String,
    quotas: Arc<Quotas>,
    health: Health,
}

impl Client {
    /// Creates the clients from AWS's usual chain: environment, profile, web identity, container and instance
    /// credentials, `AWS_ENDPOINT_URL`. The options' region wins over the chain's if it is given.
    pub async fn connect(options: &options::Fargate, health: Health) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts);
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        Self::new(&loader.load().await, options.cluster.clone(), health)
    }

    /// The clients of this configuration, in this cluster.
    #[must_use]
    pub fn new(config: &SdkConfig, cluster: String, health: Health) -> Self {
        Self {
            ecs: aws_sdk_ecs::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            region: config.region().map(|region| region.as_ref().to_owned()).unwrap_or_default(),
            cluster,
            quotas: Arc::default(),
            health,
        }
    }

    /// The client of ECS.
    #[must_use]
    pub fn ecs(&self) -> &aws_sdk_ecs::Client {
        &self.ecs
    }

    /// The client of CloudWatch Logs.
    #[must_use]
    pub fn logs(&self) -> &aws_sdk_cloudwatchlogs::Client {
        &self.logs
    }

    /// The region that the calls go to; empty if the chain knows none.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The ECS cluster, name or ARN.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The token buckets that requests to ECS wait for.
    pub(super) fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The record of how calls ended.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }
}
