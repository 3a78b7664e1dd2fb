"""How pushes are sent where nobody thought of numbers: one Celery task per message, the ORM's get and save, one post.

A Django project of its own, as its author would write it after the first tutorial: fair in what costs nothing (access
tokens are kept, connections to the database too), and without a lease, a batch or a window.
"""
