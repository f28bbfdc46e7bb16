"""Any vision-language model of transformers on this machine, behind the protocol of all models."""
