"""`POST auth/token`: exchanges a service account's id and secret for a JWT."""

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from tenancy.api import serializers
from tenancy.api.request import Request
from tenancy.api.views import payload
from tenancy.authentication import tokens
from tenancy.authentication.attempts import Attempts
from tenancy.authentication.keyring import KEYRING
from tenancy.errors import Unauthenticated
from tenancy.models import User


class TokenView(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(request=serializers.TokenRequestSerializer, responses=serializers.TokenSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """Return a JWT. A wrong id, a wrong secret and a revoked one get one answer.

        Too many attempts are refused for a while.
        """
        sent = payload(serializers.TokenRequestSerializer, request)
        attempts = Attempts.of(request, sent["clientId"])
        attempts.refuse_if_too_many()
        key = KEYRING.find_or_ask(sent["clientSecret"])
        if key is None or key.user_id is None or not _is_of(key.user_id, sent["clientId"]):
            attempts.failed()
            raise Unauthenticated("The client id or its secret is wrong, expired or revoked.")
        attempts.succeeded()
        issued = tokens.issue(key)
        body = {"accessToken": issued.text, "tokenType": "Bearer", "expiresIn": issued.expires_in_seconds}
        return Response(body, headers={"Cache-Control": "no-store"})


def _is_of(user_id: int, client_id: str) -> bool:
    found = User.objects.filter(pk=user_id, username=client_id, is_active=True, service_of__isnull=False)
    return found.exists()
