"""A simulated AWS on 127.0.0.1: ministack (pinned) with IAM enforced, and plug-ins for what it lacks.

Run it: ``python -m tests.aws_simulator --port 4600``; in tests, the fixture ``aws`` (``fixture.py``).

Writing a plug-in
=================
Every module or package of this folder that has a function ``register(simulator)`` is a plug-in; nothing else lists it.

::

    from .errors import ServiceError            # an error as AWS answers it
    from .resources import Resource, ResourceType
    from .roles import Caller, assume
    from .service import Service, operation
    from .shapes import from_properties

    ARN = "arn:aws:codecommit:{region}:{account}:{repositoryName}"    # {a JMESPath of the request}

    class CodeCommit(Service):
        name = "codecommit"                     # botocore's name: its model validates requests AND responses
        # prefix = IAM's prefix, endpoint = name in the signature: only where they differ from ``name``;
        #          sagemaker-runtime has name "sagemaker-runtime", prefix "sagemaker" and endpoint "sagemaker-runtime"
        # validation_error = the code for an invalid request, if it is not ValidationException
        # serial = False: operations may wait (else each runs alone, under self.lock, and must be short)

        @operation(ARN)                         # the caller needs codecommit:GetRepository on this ARN
        def get_repository(self, request, caller):
            if request["repositoryName"] not in self.repositories:
                raise ServiceError("RepositoryDoesNotExistException", "...")   # must be in the operation's model
            return {"repositoryMetadata": ...}

        @operation(ARN, passes={"RoleArn": "sagemaker.amazonaws.com"})  # also iam:PassRole, with PassedToService
        def create_training_job(self, request, caller): ...

``request`` is what boto3's user wrote (bytes for blobs, datetimes for timestamps) and is known to be valid; the result
is the same kind of dict. A method without ``@operation`` needs its permission on "*". A request that AWS would refuse
never reaches the method. An exception other than ServiceError, an invalid response and an error code that the model
does not have are *drift*: they are logged, answered with 500, and fail the test that uses the fixture.

Operations run on threads. ``simulator.background(function, ...)`` goes on after the answer, in the account and region
of the request. ``caller`` is who calls; ``assume(role_arn, "sagemaker.amazonaws.com", "session")`` gives the Caller
that a service is under its role (the trust policy must allow it). With any Caller:

- ``simulator.client("s3", caller)``: a boto3 client, over HTTP, so that IAM is enforced; never on the event loop.
- ``caller.credentials``: environment variables for a process. ``caller.require(action, arn, context)``: one check.

``simulator.processes.start(argv, cwd, env, on_line)`` starts a process that cannot outlive the simulator
(``Process``: wait, terminate, kill, code). ``simulator.folder`` is where files may go.

CloudFormation resource types
-----------------------------
::

    class Repository(ResourceType):
        name = "AWS::CodeCommit::Repository"
        replacing = ("RepositoryName",)         # a change of these makes a new one (planned and done by CloudFormation)
        tags = ("Tags", "list")                 # where the stack's tags go; None if the type takes none

        def create(self, resource: Resource):   # -> physical id (Ref), attributes (Fn::GetAtt)
            client = self.simulator.client("codecommit", resource.caller)   # the stack's role, or its operator
            shape = self.simulator.services["codecommit"].shape("CreateRepositoryInput")
            request = from_properties(resource.properties, shape)           # "true" → True; unknown: refused
            client.create_repository(**request)
            return resource.properties["RepositoryName"], {"Arn": ...}

        def update(self, resource): ...         # resource.physical_id, resource.previous; same result as create
        def delete(self, resource): ...         # may wait until it is gone; must not fail if it is gone already

    def register(simulator):
        simulator.add_service(CodeCommit(simulator))
        simulator.add_resource_type(Repository(simulator))
        simulator.add_control("break-repository", lambda arguments: ...)   # POST /_simulator/break-repository
        simulator.on_reset(function)            # forget everything

Handlers run on threads and may wait. Their ClientError, ServiceError or ValueError becomes the resource's
CREATE_FAILED event in CloudFormation's words. A type that ministack has itself acts as root; to make it act under the
stack's role: ``resources.guard_resource_type("AWS::CloudWatch::Alarm", create=lambda resource: [(action, arn), ...])``.

Controls
--------
``aws.control(NAME, ...)`` or POST /_simulator/NAME. Every decision about a role, by ministack or by us, is on record:
``permissions``, ``denials``, ``unused-permissions`` (also as methods of the fixture). Of the foundation and the Code
services: ``drift``, ``failed-invocations`` (EventBridge targets that could not be reached), ``expired-credentials``,
``clock`` (ahead: seconds by which the clock in answers is before ours), ``people`` (what users with keys of their own
have asked for), ``slow-resource-type`` (name, seconds: for what happens while a stack is busy), ``build-minute``
(seconds that a minute of a build's time-out takes), ``github-push`` (repository, files, branch: to what is behind a
connection), ``start-process``, ``reset``.

What is and is not simulated
----------------------------
CodePipeline: QUEUED and SUPERSEDED; not PARALLEL, conditions of stages, or custom actions: those are refused. A stop
that abandons stops a build (if the role may), and leaves a Step Functions execution running: CodePipeline's documents
promise no more. CodeBuild: sources CODEPIPELINE and NO_SOURCE, plain variables; a build's image is a virtual
environment without an index. Another account is the access key of twelve digits. Requests count as sent over TLS,
unless they say otherwise (x-forwarded-proto: http). ``repairs`` lists where ministack itself had to be put right.
"""
