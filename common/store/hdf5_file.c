// SPDX-License-Identifier: Apache-2.0
//
// How it works. A file lives in the library's "core" driver, which is memory: its bytes are taken
// out as an image, or put in as one, so that files on disk are read and written by common/base/file
// alone. Creation times, which the library keeps for data sets by default, are off.
#include "common/store/hdf5_file.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

enum { CORE_STEP_BYTES = 1 << 20, PATH_BYTES = 512 };

struct Hdf5Writer {
    hid_t file;
    hid_t links; // creates the groups above a path
    Status status;
};

struct Hdf5File {
    hid_t file;
    char name[256]; // for messages
};

// The library prints its errors unless told not to.
static void be_silent(void) {
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static hid_t core_driver(void) {
    hid_t driver = H5Pcreate(H5P_FILE_ACCESS);
    if (driver >= 0 && H5Pset_fapl_core(driver, CORE_STEP_BYTES, 0) < 0) {
        H5Pclose(driver);
        return -1;
    }
    return driver;
}

// ---- writing ----

static void fail(Hdf5Writer *writer, const char *what) {
    if (writer->status == STATUS_OK) {
        writer->status = status_set(STATUS_MEMORY, "the HDF5 library cannot make %s", what);
    }
}

static Hdf5Writer *new_writer(const char *path, hid_t driver) {
    Hdf5Writer *writer = mem_new(1, sizeof *writer);
    if (writer != NULL) {
        writer->links = H5Pcreate(H5P_LINK_CREATE);
        writer->file = driver < 0 ? -1 : H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, driver);
        if (writer->file < 0 || writer->links < 0 ||
            H5Pset_create_intermediate_group(writer->links, 1) < 0) {
            fail(writer, path);
        }
    }
    if (driver > 0) {
        H5Pclose(driver);
    }
    return writer;
}

Hdf5Writer *hdf5_writer_new(void) {
    be_silent();
    return new_writer("auscult.h5", core_driver());
}

Hdf5Writer *hdf5_writer_new_at(const char *path) {
    be_silent();
    return new_writer(path, H5Pcreate(H5P_FILE_ACCESS));
}

void hdf5_writer_free(Hdf5Writer *writer) {
    if (writer != NULL) {
        if (writer->links >= 0) {
            H5Pclose(writer->links);
        }
        if (writer->file >= 0) {
            H5Fclose(writer->file);
        }
        mem_free(writer);
    }
}

void hdf5_write_group(Hdf5Writer *writer, const char *path) {
    if (writer->status != STATUS_OK) {
        return;
    }
    hid_t group = H5Gcreate2(writer->file, path, writer->links, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0 || H5Gclose(group) < 0) {
        fail(writer, path);
    }
}

// `bytes` are `count` texts of `length` bytes each, filled up with zeros; a scalar when count < 0.
static void write_texts(Hdf5Writer *writer, const char *path, const char *name, const char *bytes,
                        size_t length, int64_t count) {
    hsize_t extent = count > 0 ? (hsize_t)count : 0;
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = count < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &extent, NULL);
    hid_t group = H5Oopen(writer->file, path, H5P_DEFAULT);
    hid_t attribute = -1;
    if (type >= 0 && space >= 0 && group >= 0 && H5Tset_size(type, length) >= 0 &&
        H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0) {
        attribute = H5Acreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    }
    if (attribute < 0 || (count != 0 && H5Awrite(attribute, type, bytes) < 0)) {
        fail(writer, name);
    }
    if (attribute >= 0) {
        H5Aclose(attribute);
    }
    if (group >= 0) {
        H5Oclose(group);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    if (type >= 0) {
        H5Tclose(type);
    }
}

void hdf5_write_text(Hdf5Writer *writer, const char *group, const char *name, const char *text) {
    size_t length = strlen(text);
    if (writer->status == STATUS_OK) {
        write_texts(writer, group, name, text, length > 0 ? length : 1, -1);
    }
}

void hdf5_write_texts(Hdf5Writer *writer, const char *group, const char *name,
                      const char *const *texts, size_t count) {
    size_t longest = 1;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(texts[i]);
        longest = length > longest ? length : longest;
    }
    char *bytes = mem_new(count > 0 ? count : 1, longest);
    if (bytes == NULL || writer->status != STATUS_OK) {
        writer->status = writer->status == STATUS_OK ? STATUS_MEMORY : writer->status;
        mem_free(bytes);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(bytes + i * longest, texts[i], strlen(texts[i]));
    }
    write_texts(writer, group, name, bytes, longest, (int64_t)count);
    mem_free(bytes);
}

void hdf5_write_floats(Hdf5Writer *writer, const char *path, const float *data, int32_t dimensions,
                       const int64_t *shape) {
    if (writer->status != STATUS_OK) {
        return;
    }
    hsize_t extents[HDF5_DIMENSIONS_MOST] = {0};
    for (int32_t i = 0; i < dimensions && i < HDF5_DIMENSIONS_MOST; i++) {
        extents[i] = (hsize_t)shape[i];
    }
    hid_t space = H5Screate_simple(dimensions, extents, NULL);
    hid_t how = H5Pcreate(H5P_DATASET_CREATE);
    hid_t set = -1;
    if (space >= 0 && how >= 0 && H5Pset_obj_track_times(how, 0) >= 0) {
        set =
            H5Dcreate2(writer->file, path, H5T_IEEE_F32LE, space, writer->links, how, H5P_DEFAULT);
    }
    if (set < 0 || H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        fail(writer, path);
    }
    if (set >= 0) {
        H5Dclose(set);
    }
    if (how >= 0) {
        H5Pclose(how);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
}

Status hdf5_writer_end(Hdf5Writer *writer, Buffer *out) {
    if (writer->status == STATUS_OK && H5Fflush(writer->file, H5F_SCOPE_GLOBAL) < 0) {
        fail(writer, "a file's bytes");
    }
    if (writer->status != STATUS_OK || out == NULL) {
        return writer->status;
    }
    ssize_t size = H5Fget_file_image(writer->file, NULL, 0);
    if (size <= 0) {
        return status_set(STATUS_MEMORY, "the HDF5 library cannot give a file's bytes");
    }
    if (!buffer_reserve(out, (size_t)size)) {
        return out->status;
    }
    size = H5Fget_file_image(writer->file, out->bytes + out->size, (size_t)size);
    if (size <= 0) {
        return status_set(STATUS_MEMORY, "the HDF5 library cannot give a file's bytes");
    }
    out->size += (size_t)size;
    out->bytes[out->size] = '\0';
    return STATUS_OK;
}

// ---- reading ----

Status hdf5_open(const char *name, const void *bytes, size_t size, Hdf5File **ret_file) {
    static const unsigned char MAGIC[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    be_silent();
    if (size < sizeof MAGIC || memcmp(bytes, MAGIC, sizeof MAGIC) != 0) {
        return status_set(STATUS_FORMAT, "%s is no HDF5 file", name);
    }
    Hdf5File *file = mem_new(1, sizeof *file);
    if (file == NULL) {
        return STATUS_MEMORY;
    }
    snprintf(file->name, sizeof file->name, "%s", name);
    file->file = -1;
    hid_t driver = core_driver();
    union {
        const void *given;
        void *wanted; // the library copies the image, its signature says otherwise
    } image = {bytes};
    if (driver >= 0 && H5Pset_file_image(driver, image.wanted, size) >= 0) {
        file->file = H5Fopen("auscult.h5", H5F_ACC_RDONLY, driver);
    }
    if (driver >= 0) {
        H5Pclose(driver);
    }
    if (file->file < 0) {
        mem_free(file);
        return status_set(STATUS_FORMAT, "%s: a damaged HDF5 file", name);
    }
    *ret_file = file;
    return STATUS_OK;
}

void hdf5_close(Hdf5File *file) {
    if (file != NULL) {
        H5Fclose(file->file);
        mem_free(file);
    }
}

bool hdf5_has_attribute(Hdf5File *file, const char *group, const char *name) {
    return H5Aexists_by_name(file->file, group, name, H5P_DEFAULT) > 0;
}

bool hdf5_has_group(Hdf5File *file, const char *group) {
    hid_t object = H5Gopen2(file->file, group, H5P_DEFAULT);
    if (object >= 0) {
        H5Gclose(object);
    }
    return object >= 0;
}

// A text attribute that is open.
typedef struct TextAttribute {
    hid_t attribute, type, space;
    bool is_variable;
    size_t length; // of a text of fixed length
    int64_t count; // texts
} TextAttribute;

static void close_text(TextAttribute *text) {
    if (text->space >= 0) {
        H5Sclose(text->space);
    }
    if (text->type >= 0) {
        H5Tclose(text->type);
    }
    if (text->attribute >= 0) {
        H5Aclose(text->attribute);
    }
}

static Status open_text(Hdf5File *file, const char *group, const char *name, TextAttribute *text) {
    *text = (TextAttribute){-1, -1, -1, false, 0, 0};
    if (!hdf5_has_attribute(file, group, name)) {
        return status_set(STATUS_NOT_FOUND, "%s: no attribute '%s'", file->name, name);
    }
    text->attribute = H5Aopen_by_name(file->file, group, name, H5P_DEFAULT, H5P_DEFAULT);
    text->type = text->attribute < 0 ? -1 : H5Aget_type(text->attribute);
    text->space = text->attribute < 0 ? -1 : H5Aget_space(text->attribute);
    if (text->type < 0 || text->space < 0 || H5Tget_class(text->type) != H5T_STRING) {
        return status_set(STATUS_FORMAT, "%s: attribute '%s' is damaged, or no text", file->name,
                          name);
    }
    text->is_variable = H5Tis_variable_str(text->type) > 0;
    text->length = text->is_variable ? 0 : H5Tget_size(text->type);
    text->count = (int64_t)H5Sget_simple_extent_npoints(text->space);
    return STATUS_OK;
}

static Status damaged(const Hdf5File *file, const char *what) {
    return status_set(STATUS_FORMAT, "%s: '%s' is damaged", file->name, what);
}

static Status too_large(const Hdf5File *file, const char *what) {
    return status_set(STATUS_LIMIT, "%s: '%s' is larger than is accepted", file->name, what);
}

// Each text of the attribute, at most `most` bytes of all together.
static Status each_text(const Hdf5File *file, const char *name, const TextAttribute *text,
                        size_t most, Status (*take)(void *context, const char *text),
                        void *context) {
    size_t width = text->is_variable ? sizeof(char *) : text->length;
    if (text->count < 0 || width == 0 || (uint64_t)text->count > most / width + 1) {
        return too_large(file, name);
    }
    size_t count = (size_t)text->count;
    char *raw = mem_new(count + 1, width);
    char *one = text->is_variable ? NULL : mem_new(width + 1, 1);
    bool has_memory = raw != NULL && (text->is_variable || one != NULL);
    Status status = has_memory ? STATUS_OK : STATUS_MEMORY;
    bool is_read = has_memory && count > 0 && H5Aread(text->attribute, text->type, raw) >= 0;
    if (has_memory && count > 0 && !is_read) {
        status = damaged(file, name);
    }
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        char *pointer = NULL;
        if (text->is_variable) {
            memcpy(&pointer, raw + i * width, sizeof pointer);
            size_t length = pointer == NULL ? 0 : strlen(pointer);
            status = length > most ? too_large(file, name)
                                   : take(context, pointer == NULL ? "" : pointer);
        } else {
            memcpy(one, raw + i * width, width);
            status = take(context, one);
        }
    }
    if (is_read && text->is_variable) {
        H5Dvlen_reclaim(text->type, text->space, H5P_DEFAULT, raw);
    }
    mem_free(one);
    mem_free(raw);
    return status;
}

static Status append_text(void *context, const char *text) {
    Buffer *out = context;
    buffer_text(out, text);
    return out->status;
}

Status hdf5_read_text(Hdf5File *file, const char *group, const char *name, size_t most,
                      Buffer *out) {
    TextAttribute text;
    Status status = open_text(file, group, name, &text);
    if (status == STATUS_OK && text.count != 1) {
        status = damaged(file, name);
    }
    if (status == STATUS_OK && text.length > most) {
        status = too_large(file, name);
    }
    if (status == STATUS_OK) {
        status = each_text(file, name, &text, most, append_text, out);
    }
    close_text(&text);
    return status;
}

Status hdf5_read_texts(Hdf5File *file, const char *group, const char *name, size_t most,
                       Status (*take)(void *context, const char *text), void *context) {
    TextAttribute text;
    Status status = open_text(file, group, name, &text);
    if (status == STATUS_OK && ((uint64_t)text.count > most || text.length > PATH_BYTES)) {
        status = too_large(file, name);
    }
    if (status == STATUS_OK) {
        status = each_text(file, name, &text, most * PATH_BYTES, take, context);
    }
    close_text(&text);
    return status;
}

// The extents of a data set of floats, within bounds.
static Status measure(const Hdf5File *file, const char *path, hid_t set, int64_t most,
                      Hdf5Array *array) {
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    hsize_t extents[HDF5_DIMENSIONS_MOST] = {0};
    Status status = STATUS_OK;
    int dimensions = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (type < 0 || H5Tget_class(type) != H5T_FLOAT || dimensions < 0 ||
        dimensions > HDF5_DIMENSIONS_MOST ||
        H5Sget_simple_extent_dims(space, extents, NULL) != dimensions) {
        status = status_set(STATUS_FORMAT, "%s: '%s' is damaged, or no array of floats", file->name,
                            path);
    }
    array->dimensions = dimensions;
    array->count = 1;
    for (int i = 0; i < dimensions && status == STATUS_OK; i++) {
        if (extents[i] > (uint64_t)most ||
            (extents[i] > 0 && array->count > most / (int64_t)extents[i])) {
            status = too_large(file, path);
        } else {
            array->shape[i] = (int64_t)extents[i];
            array->count *= (int64_t)extents[i];
        }
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    if (type >= 0) {
        H5Tclose(type);
    }
    return status;
}

Status hdf5_read_floats(Hdf5File *file, const char *path, int64_t most, Hdf5Array *ret_array) {
    Hdf5Array array = {0};
    hid_t set = H5Dopen2(file->file, path, H5P_DEFAULT);
    if (set < 0) {
        return status_set(STATUS_NOT_FOUND, "%s: no data set '%s'", file->name, path);
    }
    Status status = measure(file, path, set, most, &array);
    if (status == STATUS_OK) {
        array.data = mem_new((size_t)array.count + 1, sizeof *array.data);
        status = array.data != NULL ? STATUS_OK : STATUS_MEMORY;
    }
    if (status == STATUS_OK &&
        H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.data) < 0) {
        status = damaged(file, path);
    }
    H5Dclose(set);
    if (status != STATUS_OK) {
        mem_free(array.data);
        return status;
    }
    *ret_array = array;
    return STATUS_OK;
}

void hdf5_array_done(Hdf5Array *array) {
    mem_free(array->data);
    *array = (Hdf5Array){0};
}
