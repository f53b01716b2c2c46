"""Lists: `{count, next, previous, results}` with `?page=&pageSize=`, at most 200 a page."""

from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request

from tenancy.errors import Invalid


class PageNumbers(PageNumberPagination):
    """What is no number of rows, or more than 200, is refused."""

    page_size = 50
    page_size_query_param = "pageSize"
    max_page_size = 200

    def get_page_size(self, request: Request) -> int:
        asked = request.query_params.get(self.page_size_query_param)
        if asked is None:
            return self.page_size
        if not asked.isascii() or not asked.isdigit() or not 1 <= int(asked[:9]) <= self.max_page_size:
            raise Invalid(
                f"Ask for a whole number of rows from 1 to {self.max_page_size}.", attr="pageSize", code="out_of_range"
            )
        return int(asked)
