"""The paper's two training stages, and the small scene network that they and the evaluation look through."""
