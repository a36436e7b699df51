"""The surface that shows a picture and starts, stops and branches jobs."""
