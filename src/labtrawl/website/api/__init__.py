"""The API: what crawlers and scripts say over HTTP. Each file is a noun; a door holds no rule."""
