"""An endpoint in OpenAI's form over the course's engine; `labkit.serving.serve` starts it."""
