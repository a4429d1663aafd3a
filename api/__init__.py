"""Web and command line: both only translate between people or programs and the road in `geo`. Start at `api.app.create_app`."""
