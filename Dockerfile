# A small image for processors: docker build -t mmbert . && docker run --rm -v "$PWD:/work" mmbert --help
# The index of PyTorch's builds for processors keeps the image small: --build-arg TORCH_INDEX=ADDRESS
FROM python:3.11-slim
ARG TORCH_INDEX=""
ARG EXTRAS="embeddings,finetune,onnx,search"
COPY . /source
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        -c /source/constraints.txt "/source[$EXTRAS]" \
    && rm -rf /source \
    && useradd --create-home mmbert
USER mmbert
WORKDIR /work
ENTRYPOINT ["mmbert"]
CMD ["--help"]
