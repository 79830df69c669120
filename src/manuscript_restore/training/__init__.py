"""What a training is made of: the LightningModule, its losses, callbacks and loggers, and its last words."""
