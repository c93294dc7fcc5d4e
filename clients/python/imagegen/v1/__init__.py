"""Messages and stubs of imagegen.v1: gateway_pb2 and gateway_pb2_grpc are what clients need.

>>> from imagegen.v1 import gateway_pb2
>>> request = gateway_pb2.Img2ImgRequest(prompt="a red circle", image=b"...")
>>> request.params.HasField("seed")    # not set: the server draws one
False
"""
