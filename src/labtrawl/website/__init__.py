"""The website: shows every job while it happens, on pages that work without JavaScript.

Entered by the cli alone, through `app.build` and `serve.serve`. Reads and writes by `store`; only
this room knows the web framework and the templates.
"""
