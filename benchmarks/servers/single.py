"""The simplest server: one call of the model for each request, in starlette's thread pool."""

from __future__ import annotations

import json
import sys

import uvicorn
from saved import Saved
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

model = Saved()


async def predict(request: Request) -> JSONResponse:
    texts = json.loads(await request.body())["instances"]
    return JSONResponse({"predictions": await run_in_threadpool(model, texts)})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
