"""OGC API – Features."""

from typing import Any

from fastapi import APIRouter

from api import models
from api.errors import OGC

router = APIRouter(prefix="/ogc", tags=[OGC])
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"content": {"application/problem+json": {"schema": models.Problem.model_json_schema()}}, "description": text}
    for status, text in ((400, "A parameter that can't be used"), (404, "Nothing of that name"))
}
