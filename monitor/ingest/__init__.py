"""Documents that others send become frames: native push."""
