/* Scores a PNG by its size in bytes, and writes a constant map of the image's height and width as .npy. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned big_endian(const unsigned char *at) {
    return (unsigned)at[0] << 24 | (unsigned)at[1] << 16 | (unsigned)at[2] << 8 | at[3];
}

int main(int count, char **words) {
    unsigned char head[24];
    FILE *image = count == 4 ? fopen(words[1], "rb") : NULL;
    if (!image || fread(head, 1, sizeof head, image) != sizeof head) {
        fprintf(stderr, "usage: score IMAGE.png MAP.npy MEAN\n");
        return 2;
    }
    unsigned width = big_endian(head + 16), height = big_endian(head + 20);
    fseek(image, 0, SEEK_END);
    double score = ftell(image) / (2 * atof(words[3]));
    if (score > 1) score = 1;

    char header[118];
    int used = snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': (%u, %u), }", height, width);
    memset(header + used, ' ', sizeof header - used);
    header[117] = '\n';
    uint16_t length = 118;
    FILE *map = fopen(words[2], "wb");
    fwrite("\x93NUMPY\x01\x00", 1, 8, map);
    fwrite(&length, 2, 1, map);
    fwrite(header, 1, 118, map);
    float value = (float)score;
    for (unsigned i = 0; i < width * height; i++) fwrite(&value, 4, 1, map);
    fclose(map);
    printf("%.6f\n", score);
    return 0;
}
