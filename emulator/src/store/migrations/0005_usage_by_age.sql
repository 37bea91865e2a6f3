-- The oldest usage goes when there is more than is kept.
CREATE INDEX usage_by_age ON usage (stopped_at);
