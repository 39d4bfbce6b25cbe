"""A file for each part of the site. Each adds its routes to the app; `access` says who may use them."""
