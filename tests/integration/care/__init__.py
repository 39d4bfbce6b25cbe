"""Backups, health and notices: real files, a real HTTP server, a real mail server."""
