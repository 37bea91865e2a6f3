//! Reading a container's lines back from CloudWatch Logs.
