"""The addresses of the service, one module a kind: `lists`, `layers`, `pages`, `service`."""
