"""The event stream beside its peers: servers, a load generator, and the tables of a run."""
