"""What `manage.py run` is made of: ports, the Procfile's processes on a leash, waiting until they are ready."""
