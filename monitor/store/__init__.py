"""Series stores: frames in, ranges out."""
