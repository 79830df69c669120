"""What a run says about itself, and the loggers that it says it to."""
