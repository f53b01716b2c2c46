"""Lists: `{count, next, previous, results}` with `?page=&pageSize=`, at most 200 a page."""

from rest_framework.pagination import PageNumberPagination


class PageNumbers(PageNumberPagination):
    page_size = 50
    page_size_query_param = "pageSize"
    max_page_size = 200
