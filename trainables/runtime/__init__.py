"""Around a training: the machine it runs on, its cost, and a trained model as it is shipped."""
