"""The series store beside VictoriaMetrics and Prometheus, on the same data in one run."""
