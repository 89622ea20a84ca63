"""The hub and the topics of the event stream."""
