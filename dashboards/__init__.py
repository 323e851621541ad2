"""Grafana dashboards as code: what an operator watches. Knows the schemas' names only, imports no other room."""
